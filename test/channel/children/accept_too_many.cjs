// Listens with room for few connections; a line on stdin makes room.
const { closeSync, openSync } = require("node:fs");
const { native } = require("../../../dist/lib/native.js");

const ballast = Array.from({ length: 20 }, () => openSync("/dev/null", "r"));
const channels = [];
let freed = false;

function answer(channel) {
  native.startChannel(channel, { onData() {}, onDrain() {}, onClose() {} });
  channel.send(Buffer.from("welcome"));
  channel.close();
}

const listener = native.listen(
  process.argv[2],
  { mode: 0o600, backlog: 100 },
  (channel) => (freed ? answer(channel) : channels.push(channel)),
  (error) => console.log(`limit ${error.code}`),
);
listener.ref();
console.log("listening");

process.stdin
  .once("data", () => {
    freed = true;
    for (const fd of ballast) closeSync(fd);
    for (const channel of channels.splice(0)) answer(channel);
  })
  .on("end", () => {
    listener.close();
    const { user, system } = process.cpuUsage();
    console.log(`cpu ${(user + system) / 1000}`);
  });
