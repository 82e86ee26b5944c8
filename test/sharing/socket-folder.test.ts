// In which folders an owner listens: only where nobody else could put another socket in the place of its own.
import { chmodSync, mkdirSync, mkdtempSync, promises, symlinkSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Owner } from "../../dist/lib/index.js";
import { folder, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

afterEach(() => {
  vi.restoreAllMocks();
});

/** A new folder of that mode. */
function made(mode: number, within = folder): string {
  const name = mkdtempSync(path.join(within, "f-"));
  chmodSync(name, mode);
  return name;
}

/** A link in a folder, to a good folder unless another target is named. */
function linked(within: string, target = made(0o700)): string {
  const link = path.join(within, "link");
  symlinkSync(target, link);
  return link;
}

async function refusal(asked: string): Promise<{ folder: string; message: string }> {
  const listening = Owner.listen({ socket: path.join(asked, "s") });
  const error = await listening.then(
    (owner) => owner.close().then(() => expect.fail("it listens")),
    (reason) => reason,
  );
  expect(error).toMatchObject({ code: "ERR_CUDA_IPC_SOCKET_FOLDER" });
  return { folder: error.details.folder, message: error.message };
}

/** As if it were another user's. Only root can give a file away. */
function ownedByAnother(file: string): void {
  const { lstat } = promises;
  vi.spyOn(promises, "lstat").mockImplementation((async (asked: string) => {
    const facts = await lstat(asked);
    return asked === file ? Object.assign(facts, { uid: 54_321 }) : facts;
  }) as typeof lstat);
}

test("a folder in which others could replace the socket is refused", async () => {
  const open = made(0o777);
  const { folder, message } = await refusal(open);
  expect(folder).toBe(open);
  expect(message).toContain("mode 777");
  const another = made(0o700);
  ownedByAnother(another);
  expect((await refusal(another)).folder).toBe(another);
});

describe("a link to a good folder", () => {
  test.each([
    ["in a good folder", 0o700],
    ["in a folder where each may replace only what is one's own", 0o1777],
  ])("%s is as good: workers meet the owner through it and beside it", async (_, mode) => {
    const target = made(0o700);
    const link = linked(made(mode), target);
    const owner = await startOwner({ socket: path.join(link, "s") });
    await owner.load("llm", someTensors());
    const worker = await startWorker();
    for (const way of [link, target]) {
      await worker.call("attachThenRelease", "llm", { socket: path.join(way, "s") });
    }
  });

  test.each(["f", "./f/", "../within/f"])("by %s is as good", async (relative) => {
    const within = path.join(made(0o700), "within");
    mkdirSync(path.join(within, "f"), { recursive: true, mode: 0o700 });
    await startOwner({ socket: path.join(linked(within, relative), "s") });
  });

  test("is judged by where it leads, and not by how that reads", async () => {
    const within = made(0o700);
    mkdirSync(path.join(within, "other", "place"), { recursive: true, mode: 0o700 });
    symlinkSync("other/place", path.join(within, "way"));
    mkdirSync(path.join(within, "other", "f"), { mode: 0o700 });
    mkdirSync(path.join(within, "f"));
    chmodSync(path.join(within, "f"), 0o777);
    await startOwner({ socket: path.join(linked(within, "way/../f"), "s") });
  });

  test("by way of another link is as good", async () => {
    await startOwner({ socket: path.join(linked(made(0o700), linked(made(0o700))), "s") });
  });

  test("in a folder where others could replace the link is refused", async () => {
    const open = made(0o777);
    expect((await refusal(linked(open))).folder).toBe(open);
    expect((await refusal(linked(made(0o700), path.join(open, "link")))).folder).toBe(open);
  });

  test("that is another user's is refused, also where one may only replace what is one's own", async () => {
    const link = linked(made(0o1777));
    ownedByAnother(link);
    const { folder, message } = await refusal(link);
    expect(folder).toBe(link);
    expect(message).toContain("another user's");
  });

  test("in another user's folder is refused", async () => {
    const within = made(0o755);
    ownedByAnother(within);
    expect((await refusal(linked(within))).folder).toBe(within);
  });
});

test("a link to a folder in which others could replace the socket is refused for that", async () => {
  const open = made(0o777);
  expect((await refusal(linked(made(0o700), open))).folder).toBe(open);
});
