// What an attach asks for goes out as it is made of checked arguments, without being held against the protocol again.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { native } from "../../dist/lib/native.js";
import { attachRequest } from "../../dist/lib/sharing/attach-options.js";
import { clientChecks } from "../../dist/lib/wire/check.js";
import { askFirst } from "../../dist/lib/wire/client.js";

const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const name = fc.string({ unit: "binary", minLength: 1, maxLength: 256 });
const options = fc.record(
  { version: id, checksum: id, access: fc.constantFrom("read" as const, "readwrite" as const) },
  { requiredKeys: [] },
);

test("whatever may be asked for is as the protocol has it", () => {
  const hello = { frame: Buffer.from("hello") };
  fc.assert(
    fc.property(name, options, id, (set, chosen, lease) => {
      let request: ReturnType<typeof attachRequest>["request"];
      try {
        ({ request } = attachRequest(set, { ...chosen, socket: "/run/owner.sock" }));
      } catch {
        fc.pre(false); // too long, or no text
        return;
      }
      let said: { type: string } | undefined;
      const ask: typeof native.ask = (_socket, _hello, text) => {
        said = JSON.parse(text);
        return undefined;
      };
      askFirst(ask, "/run/owner.sock", hello, { ...request, lease });
      clientChecks.check(said!);
      expect(said).toMatchObject({ type: "attach", id: 1, set, lease, ahead: true });
    }),
  );
});
