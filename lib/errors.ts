/** Every failure of this library has one of these codes; `docs/errors.md` says what to do about each. */
export type ErrorCode = `ERR_CUDA_IPC_${string}`;

/** What an error knows beside its sentence. */
export interface ErrorFacts {
  /** The number of the failed CUDA driver call (`CUresult`), when a driver call failed. */
  cudaResult?: number;
  /** The driver's name for that number, such as `CUDA_ERROR_INVALID_HANDLE`. */
  cudaName?: string;
  /** The function that failed: a CUDA driver function or a system call. */
  call?: string;
  /** The system's errno, when a system call failed. */
  errno?: number;
  /** Further facts by name, such as `neededBytes` and `freeBytes`. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/** The one error class of this library. `code` is stable and meant to be tested; `message` is for people. */
export class CudaIpcError extends Error {
  readonly code: ErrorCode;
  readonly cudaResult: number | undefined;
  readonly cudaName: string | undefined;
  readonly call: string | undefined;
  readonly errno: number | undefined;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.cudaResult = facts.cudaResult;
    this.cudaName = facts.cudaName;
    this.call = facts.call;
    this.errno = facts.errno;
    this.details = facts.details ?? {};
  }

  override get name(): string {
    return `CudaIpcError [${this.code}]`;
  }
}

/** Refuses an argument: "Expected <what> for <name>, but received <value> of type <type>". */
export function invalidArgument(name: string, expected: string, received: unknown): CudaIpcError {
  const shown = typeof received === "string" ? JSON.stringify(received) : shownAs(received);
  return new CudaIpcError(
    "ERR_CUDA_IPC_INVALID_ARGUMENT",
    `Expected ${expected} for ${name}, but received ${shown} of type ${received === null ? "null" : typeof received}`,
  );
}

/** Some objects have no text, and what is refused is not to fail for that. */
function shownAs(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "an object";
  }
}

/** The names of all options of a kind: the compiler says when one is missing. */
export function optionNames<Options>(
  names: Readonly<Record<keyof Options & string, true>>,
): readonly string[] {
  return Object.keys(names);
}

/** Refuses options that there are not: one that is misspelled would be ignored, and its default be taken. */
export function checkOptions(options: unknown, known: readonly string[], name = "options"): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw invalidArgument(name, "an object", options);
  for (const option of Object.keys(options)) if (!known.includes(option)) throw unknown(name, option, known);
}

/** Refuses what only looks like a signal: it would fail where it is used, half way through. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw invalidArgument("signal", "an AbortSignal", signal);
}

function unknown(name: string, option: string, known: readonly string[]): CudaIpcError {
  // Loaded where it is needed: a worker that makes no mistake has no use for it.
  const { didYouMean } = require("./did-you-mean.js") as typeof import("./did-you-mean.js");
  const { code, message } = invalidArgument(name, `only ${known.join(", ")}`, option);
  const meant = didYouMean(option, known);
  return new CudaIpcError(code, meant === undefined ? message : `${message}. Did you mean ${meant}?`);
}
