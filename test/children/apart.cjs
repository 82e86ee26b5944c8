// Lets this process see its peers as from a PID namespace of its own: those outside have no pid there, and nothing that is
// known of a process by its pid. Takes no privilege.
const fs = require("node:fs");
const { OwnerServer } = require("../../dist/lib/sharing/owner-server.js");

const { readlinkSync } = fs;
fs.readlinkSync = (file, ...rest) =>
  file === "/proc/self/ns/pid" ? `pid:[apart ${process.pid}]` : readlinkSync(file, ...rest);

const { accept } = OwnerServer.prototype;
OwnerServer.prototype.accept = function (channel) {
  const unseen = { ...channel.peer, pid: 0, startTime: "", command: "" };
  return accept.call(this, Object.defineProperty(channel, "peer", { value: unseen }));
};
