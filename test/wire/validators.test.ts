import { Value } from "@sinclair/typebox/value";
import { describe, expect, test } from "vitest";
import { checked } from "../../dist/lib/wire/checked.js";
import { explain } from "../../dist/lib/wire/explain.js";
import { validators } from "../../dist/lib/wire/validators.js";
import { changes } from "./changes.js";
import { examples } from "./examples.js";
import { loaderExamples } from "./loader-examples.js";

type Kind = keyof typeof checked;

/** The message, and the same with each of its values replaced by others or left out, at any depth. */
function* variants(value: unknown): Generator<unknown> {
  yield* [value, null, undefined, -1, 0, 1.5, 2 ** 60, "", "x", "0".repeat(32), true, [], {}, new Date(0)];
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    for (const variant of variants(inner)) {
      const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
      copy[key] = variant;
      yield copy;
    }
    if (Array.isArray(value)) continue;
    const { [key]: _, ...without } = value as Record<string, unknown>;
    yield without;
  }
}

const samples: Record<string, unknown> = {
  ...examples,
  ...changes,
  ...loaderExamples,
};

describe("the generated validators", () => {
  const all = Object.entries(checked).flatMap(([kind, schemas]) =>
    Object.entries(schemas).map(([name, schema]) => ({ kind: kind as Kind, name, schema })),
  );

  test.each(all)("$kind $name agrees with its schema, and every refusal is explained", (each) => {
    const { kind, name, schema } = each;
    let accepted = 0;
    let refused = 0;
    for (const value of variants(samples[name])) {
      const valid = validators[kind][name]!(value);
      expect(valid, JSON.stringify(value)).toBe(Value.Check(schema, value));
      if (valid) accepted++;
      else {
        refused++;
        expect(explain(kind, name, value)).not.toContain("undefined");
      }
    }
    expect(Math.min(accepted, refused)).toBeGreaterThan(0);
  });

  test("are there for every schema, and for nothing else", () => {
    for (const kind of Object.keys(checked) as Kind[])
      expect(Object.keys(validators[kind])).toEqual(Object.keys(checked[kind]));
  });
});
