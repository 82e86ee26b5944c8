/** Something that who gave the command can mend: told in a line, without a stack, with the exit status 2. */
export class UserError extends Error {}

/** What a program's `main` was rejected with. */
export function tell(error: unknown): void {
  const mendable = error instanceof UserError;
  const text =
    error instanceof Error && !mendable
      ? (error.stack ?? error.message)
      : String(mendable ? error.message : error);
  process.stderr.write(`${text}\n`);
  process.exitCode = mendable ? 2 : 1;
}
