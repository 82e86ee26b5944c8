import { type NativeAddon, native } from "../../dist/lib/native.js";
import { encodeFrame } from "../../dist/lib/wire/encode.js";

/** `native.ask` by its parts, for tests that replace one of them: as these are when it is called. */
export function askByParts(
  parts: Pick<NativeAddon, "tryConnect" | "watchGrants"> = native,
): NativeAddon["ask"] {
  return (socket, hello, request, lease, access) => {
    const channel = parts.tryConnect(socket);
    if (channel === undefined) return undefined;
    const grants = parts.watchGrants(channel);
    grants.expect(lease, access, true);
    channel.send(Buffer.concat([hello, encodeFrame(JSON.parse(request))]));
    return { channel, grants };
  };
}
