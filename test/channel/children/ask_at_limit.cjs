// Asks with one descriptor left, when nothing of this library has been used before.
const { closeSync, openSync } = require("node:fs");
const { native } = require("../../../dist/lib/native.js");

const fds = [];
try {
  for (;;) fds.push(openSync("/dev/null", "r"));
} catch {}
closeSync(fds.pop());
try {
  native.ask(process.argv[2], Buffer.from("hello"), "{}", "0".repeat(32), "read");
} catch (error) {
  console.log(error.code);
}
