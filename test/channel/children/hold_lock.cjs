// Holds a file lock until it is killed.
const { native } = require("../../../dist/lib/native.js");
const lock = native.lockFile(process.argv[2]);
console.log(lock?.held ? "held" : "refused");
process.stdin.on("end", () => lock.close()).resume();
