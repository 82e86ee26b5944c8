// `native.ask` by its parts, for tests that replace one of them.
const { native } = require("../../dist/lib/native.js");
const { encodeFrame } = require("../../dist/lib/wire/encode.js");

/** With `tryConnect` and `watchGrants`, as they are when it is called. */
module.exports =
  (parts = native) =>
  (socket, hello, request, lease, access) => {
    const channel = parts.tryConnect(socket);
    if (channel === undefined) return undefined;
    const grants = parts.watchGrants(channel);
    grants.expect(lease, access, true);
    channel.send(Buffer.concat([hello, encodeFrame(JSON.parse(request))]));
    return { channel, grants };
  };
