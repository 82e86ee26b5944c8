// Throws in its listeners.
const { native } = require("../../../dist/lib/native.js");

process.on("uncaughtException", (error) => console.log(`uncaught ${error.message}`));

native.connect(process.argv[2]).then((channel) => {
  native.startChannel(channel, {
    onData() {
      channel.close();
      throw new Error("onData");
    },
    onDrain() {},
    onClose() {
      throw new Error("onClose");
    },
  });
  channel.ref();
});
