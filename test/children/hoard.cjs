// Uses up this process's file descriptors, so that the next thing that wants one meets the limit.
const { closeSync, openSync } = require("node:fs");

/** Where it rehearses, if it does: only who attaches loads it. */
const attaching = require.resolve("../../dist/lib/sharing/attach.js");

const hoard = [];

function takeAll() {
  for (;;) {
    try {
      hoard.push(openSync("/dev/null", "r"));
    } catch (error) {
      if (error.code !== "EMFILE") throw error;
      return;
    }
  }
}

module.exports = {
  /** Opens descriptors until there are no more, though other threads had their turn to close some, then frees that many. */
  async leaveFds(count) {
    await require.cache[attaching]?.exports.rehearsed;
    for (let before = -1; hoard.length > before; await new Promise(setImmediate)) {
      before = hoard.length;
      takeAll();
    }
    for (let i = 0; i < count; i++) closeSync(hoard.pop());
  },
  returnFds() {
    for (const fd of hoard.splice(0)) closeSync(fd);
  },
};
