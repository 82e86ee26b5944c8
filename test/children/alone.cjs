// Programs that do one thing and wait: nothing else keeps them alive. argv: the part, socket, and what to do.
const { attach, Owner } = require("../../dist/lib/index.js");

/** Says so when it is asked, if something has kept it alive by then. */
function saysIfAlive() {
  process.on("SIGUSR2", () => setTimeout(() => console.log("still here"), 200).unref());
}

const parts = {
  async standby(socket, what) {
    saysIfAlive();
    const standby = await Owner.standby({ socket });
    if (what === "unref") standby.unref();
    console.log("standing by");
    if (what === "close") await standby.close();
    const owner = await standby.owner.catch(() => undefined);
    if (owner === undefined) return;
    console.log("taken over");
    await owner.whenRecovered();
    await owner.close();
  },

  async owner(socket, sharing) {
    const owner = await Owner.listen({ socket });
    await owner.load("set", { w: new Float32Array(4) }, { sharing });
    owner.on("handedover", () => console.log("handed over"));
    console.log("serving");
    saysIfAlive();
    process.once("SIGTERM", () => owner.close().then(() => console.log("closed")));
  },

  async "unref'd owner"(socket) {
    saysIfAlive();
    const owner = await Owner.listen({ socket });
    const version = await owner.load("set", { w: new Float32Array(4) }, { sharing: "ipc" });
    console.log("serving");
    await version.waitForRefCount((count) => count === 1);
    owner.unref();
    console.log("closing");
    await owner.close();
    console.log("closed");
  },

  async locker(socket) {
    saysIfAlive();
    const weights = await attach("set", { socket });
    weights.on("ownerlost", () => console.log("owner lost"));
    console.log("waiting");
    const lock = await weights.lock("L");
    console.log("granted");
    await lock.release();
    await weights.release();
  },
};

const [part, ...rest] = process.argv.slice(2);
parts[part](...rest);
