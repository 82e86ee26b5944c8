import type { CheckedKind } from "./checked.js";

export type Validator = (value: unknown) => boolean;

/**
 * One function for each schema of ./checked.ts. Written by scripts/generate-validators.js when dist/ is built:
 * loading the schemas and compiling them takes longer than attaching.
 */
export const validators: Readonly<Record<CheckedKind, Readonly<Record<string, Validator>>>>;
