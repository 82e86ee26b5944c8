// Starts a channel, forgets it, collects garbage, and waits for what it still receives.
const { native } = require("../../../dist/lib/native.js");

async function main() {
  const channel = await native.connect(process.argv[2]);
  native.startChannel(channel, {
    onData(bytes) {
      console.log(bytes.toString());
      process.stdin.destroy();
    },
    onDrain() {},
    onClose() {},
  });
}

process.stdin.resume();
main().then(() => {
  let rounds = 0;
  const look = setInterval(() => {
    gc();
    if (++rounds < 5) return;
    clearInterval(look);
    console.log("collected");
  }, 1);
});
