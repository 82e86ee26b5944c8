// Programs that do one thing and wait: nothing else keeps them alive. argv: the part, socket, and what to do.
const { Owner } = require("../../dist/lib/index.js");

const parts = {
  async standby(socket, what) {
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
    // Says so only if something else has kept it alive by then.
    process.on("SIGUSR2", () => setTimeout(() => console.log("still here"), 200).unref());
    process.once("SIGTERM", () => owner.close().then(() => console.log("closed")));
  },
};

const [part, ...rest] = process.argv.slice(2);
parts[part](...rest);
