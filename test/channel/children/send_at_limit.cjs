// Fills its table of descriptors and then sends some that have to be queued.
const { openSync } = require("node:fs");
const { native } = require("../../../dist/lib/native.js");

async function main() {
  const channel = await native.connect(process.argv[2]);
  native.startChannel(channel, { onData() {}, onDrain() {}, onClose() {} });
  while (channel.send(Buffer.alloc(64 << 10)));
  const fds = [];
  try {
    for (;;) fds.push(native.adoptFd(openSync("/dev/null", "r")));
  } catch {}
  try {
    channel.send(Buffer.alloc(10), fds.slice(0, 5));
  } catch (error) {
    console.log(error.code);
  }
  for (const fd of fds) fd.close();
  console.log(channel.fd >= 0 ? "still open" : "closed");
}

main();
