import { native } from "../native.js";

/** 128 random bits as 32 hex characters: names an owner, a version, a slab or a lease for good. */
export function randomId(): string {
  return native.randomId();
}

const pattern = /^[0-9a-f]{32}$/;

export function isId(value: unknown): value is string {
  return typeof value === "string" && pattern.test(value);
}
