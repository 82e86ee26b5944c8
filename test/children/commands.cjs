// Runs the commands that a test sends, one message each, and answers with the value or the coded error.
module.exports = function serve(commands) {
  process.on("message", async ({ id, command, values }) => {
    try {
      const value = await commands[command](...values);
      process.send({ id, value });
    } catch (error) {
      const { code, message, cudaName, details } = error;
      process.send({ id, error: { code: code ?? error.name, message, cudaName, details } });
    }
  });
};

module.exports.emit = (event, value) => process.send?.({ event, value });
