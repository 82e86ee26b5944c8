// Uses up this process's file descriptors, so that the next thing that wants one meets the limit.
const { closeSync, openSync } = require("node:fs");

const hoard = [];

module.exports = {
  /** Opens descriptors until there are no more, then frees that many. */
  leaveFds(count) {
    for (;;) {
      try {
        hoard.push(openSync("/dev/null", "r"));
      } catch (error) {
        if (error.code !== "EMFILE") throw error;
        break;
      }
    }
    for (let i = 0; i < count; i++) closeSync(hoard.pop());
  },
  returnFds() {
    for (const fd of hoard.splice(0)) closeSync(fd);
  },
};
