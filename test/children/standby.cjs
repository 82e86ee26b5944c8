// A program that does nothing but stand by: nothing else keeps it alive. argv: socket, and what to do.
const { Owner } = require("../../dist/lib/index.js");

async function main([socket, what]) {
  const standby = await Owner.standby({ socket });
  if (what === "unref") standby.unref();
  console.log("standing by");
  if (what === "close") await standby.close();
  const owner = await standby.owner.catch(() => undefined);
  if (owner === undefined) return;
  console.log("taken over");
  await owner.whenRecovered();
  await owner.close();
}

main(process.argv.slice(2));
