// Reaches a stage and then has nothing left to do: the process is to end by itself.
const { native } = require("../../../dist/lib/native.js");
const [stage, socket] = process.argv.slice(2);
const ignore = { onData() {}, onDrain() {}, onClose() {} };

async function main() {
  const channel = await native.connect(socket);
  if (stage === "started" || stage === "traffic") native.startChannel(channel, ignore);
  if (stage === "traffic") for (let i = 0; i < 50; ++i) channel.send(Buffer.alloc(100_000));
  if (stage === "listening")
    native.listen(
      `${socket}.2`,
      { mode: 0o600, backlog: 1 },
      () => {},
      () => {},
    );
  if (stage === "watching") channel.watchPeer(() => {});
  if (stage === "exit-in-callback") {
    native.startChannel(channel, { ...ignore, onData: () => process.exit(0) });
    channel.ref();
  }
}

main();
