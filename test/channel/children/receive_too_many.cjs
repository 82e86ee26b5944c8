// Receives more descriptors than its limit allows.
const { readdirSync } = require("node:fs");
const { native } = require("../../../dist/lib/native.js");
const openFds = () => readdirSync("/proc/self/fd").length;

async function main() {
  // Starts the thread behind all channels, with its descriptors.
  native.watchProcess(process.pid, undefined, () => {}).close();
  const before = openFds();
  const channel = await native.connect(process.argv[2]);
  native.startChannel(channel, {
    onData() {},
    onDrain() {},
    onClose(error) {
      const leaked = openFds() - before;
      console.log(`closed ${error?.code}`);
      console.log(`leaked ${leaked}`);
    },
  });
  channel.ref();
}

main();
