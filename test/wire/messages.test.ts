import { describe, expect, test } from "vitest";
import { clientChecks, ownerChecks } from "../../dist/lib/wire/check.js";
import { packTensors, unpackTensors } from "../../dist/lib/wire/manifest.js";
import { clientSchemas, ownerSchemas, reservedTypes } from "../../dist/lib/wire/messages.js";
import { replyTypes } from "../../dist/lib/wire/replies.js";
import { example, examples } from "./examples.js";

const refused = expect.objectContaining({ code: "ERR_CUDA_IPC_PROTOCOL" });

describe("messages", () => {
  test.each(Object.entries(examples))(
    "%s as documented is accepted in its direction only",
    (type, message) => {
      const [own, other] = type in clientSchemas ? [clientChecks, ownerChecks] : [ownerChecks, clientChecks];
      own.check(message);
      expect(() => other.check(message)).toThrow(refused);
    },
  );

  test("there is an example of every message", () => {
    expect(Object.keys(examples).sort()).toEqual(
      [...Object.keys(clientSchemas), ...Object.keys(ownerSchemas)].sort(),
    );
    expect(Object.values(replyTypes).every((type) => type in ownerSchemas)).toBe(true);
  });

  test("reserved names are free, and refused", () => {
    for (const type of reservedTypes) {
      expect(type in clientSchemas || type in ownerSchemas).toBe(false);
      expect(() => clientChecks.check({ type })).toThrow(refused);
    }
    for (const type of ["constructor", "__proto__", "toString"]) {
      expect(() => clientChecks.check({ type })).toThrow(refused);
    }
  });

  test("unknown fields are ignored, missing and wrong ones are named", () => {
    const attach = example("attach");
    clientChecks.check({ ...attach, later: { anything: true } } as typeof attach);
    const { lease, ...incomplete } = attach;
    expect(() => clientChecks.check(incomplete as typeof attach)).toThrow(/"attach".*\/lease/);
    for (const wrong of [
      { id: 0 },
      { id: 1.5 },
      { id: 2 ** 60 },
      { lease: "A".repeat(32) },
      { lease: `${"0".repeat(32)}\n` },
      { access: "write" },
      { set: "" },
      { set: "x".repeat(257) },
      { version: "v1" },
      { fds: 1 },
    ]) {
      expect(
        () => clientChecks.check({ ...attach, ...wrong } as typeof attach),
        JSON.stringify(wrong),
      ).toThrow(refused);
    }
  });

  test("what is sent as it is to many is checked when it is encoded", () => {
    const retired = example("retired");
    const { frame } = ownerChecks.encoded(retired);
    expect(frame.readUInt32LE(0)).toBe(frame.length - 4);
    expect(JSON.parse(frame.toString("utf8", 4))).toEqual(retired);
    expect(() => ownerChecks.encoded({ ...retired, versions: ["short"] } as never)).toThrow(refused);
  });
});

describe("manifests", () => {
  test("columns and tensors are the same thing", () => {
    const tensors = [
      { name: "a", dtype: "F32", shape: [2, 3], slab: 0, offset: 0, bytes: 24 },
      { name: "__proto__", dtype: "BF16", shape: [], slab: 1, offset: 256, bytes: 2 },
    ];
    expect(unpackTensors(packTensors(tensors))).toEqual(tensors);
  });

  test("columns of different length are refused", () => {
    const columns = packTensors([{ name: "a", dtype: "F32", shape: [1], slab: 0, offset: 0, bytes: 4 }]);
    expect(() => unpackTensors({ ...columns, offsets: [] })).toThrow(refused);
    expect(() => unpackTensors({ ...columns, names: ["a", "b"] })).toThrow(refused);
  });
});
