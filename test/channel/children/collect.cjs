// Forgets 50 channels that were never started, and as many descriptors, and has them collected.
const { openSync, readdirSync } = require("node:fs");
const { native } = require("../../../dist/lib/native.js");
const openFds = () => readdirSync("/proc/self/fd").length;

async function main() {
  (await native.connect(process.argv[2])).close();
  const before = openFds();
  await (async () => {
    for (let i = 0; i < 49; ++i) {
      const channel = await native.connect(process.argv[2]);
      channel.ref(); // must not keep the event loop alive once collected
      channel.pause();
      native.adoptFd(openSync("/dev/null", "r"));
    }
  })();
  const look = setInterval(() => {
    gc();
    const left = openFds() - before;
    if (left > 0) return;
    clearInterval(look);
    console.log(`left ${left}`);
  }, 10);
}

main();
