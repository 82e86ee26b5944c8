import { CudaIpcError, type ErrorCode } from "../errors.js";
import { asCoded, describeError } from "../wire/connection.js";
import type { LoaderMessages } from "../wire/loader-messages.js";

type Failed = LoaderMessages["failed"];

/** An error on its way to another process, with all that the driver and the system said. */
export function failureMessage(thrown: unknown): Omit<Failed, "fds"> {
  const error = asCoded(thrown);
  const { call, errno, cudaResult, cudaName } = error;
  return { type: "failed", ...describeError(error), call, errno, cudaResult, cudaName };
}

export function errorOf({ code, message, details, call, errno, cudaResult, cudaName }: Failed): CudaIpcError {
  return new CudaIpcError(code as ErrorCode, message, { details, call, errno, cudaResult, cudaName });
}
