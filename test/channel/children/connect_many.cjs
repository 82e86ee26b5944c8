// Opens some connections at once, sends on each, and ends when all were answered.
const { native } = require("../../../dist/lib/native.js");
const [socket, count] = process.argv.slice(2);

async function main() {
  const channels = await Promise.all(Array.from({ length: Number(count) }, () => native.connect(socket)));
  await Promise.all(
    channels.map(
      (channel) =>
        new Promise((resolve) => {
          native.startChannel(channel, { onData: resolve, onDrain() {}, onClose() {} });
          channel.ref();
          channel.send(Buffer.from("hello"));
        }),
    ),
  );
  for (const channel of channels) channel.unref();
}

main();
