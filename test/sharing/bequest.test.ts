// What a thread leaves behind is what an owner may count for it: see lib/sharing/bequest.ts.
import { expect, test } from "vitest";
import { native } from "../../dist/lib/native.js";
import { clientOf, forgetClient } from "../../dist/lib/sharing/clients.js";
import type { AttachAddon } from "../../dist/lib/sharing/owner-client.js";
import { newSocket, temporaryFolder } from "../helpers/temporary.js";

test("a lease that nobody could be asked for is not left behind", async () => {
  const left = new Set<string>();
  const addon: AttachAddon = {
    ...(native as AttachAddon),
    testament: () => ({
      set: (key) => left.add(key),
      delete: (key) => left.delete(key),
    }),
  };
  const socket = newSocket(temporaryFolder());
  const request = { set: "llm", version: null, checksum: null, access: "read" as const };
  await expect(clientOf(socket, addon).attach(request, { timeout: 1000 })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_NO_OWNER",
  });
  forgetClient(socket);
  expect([...left]).toEqual([]);
});
