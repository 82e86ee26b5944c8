/** The child's side of `Child`: runs one command for each message, and answers with its value or its error. */

// biome-ignore lint/suspicious/noExplicitAny: the caller's type names the arguments, see Child
export type Commands = Record<string, (...values: any[]) => unknown>;

interface Request {
  id: number;
  command: string;
  values: unknown[];
}

export function serve(commands: Commands): void {
  // Whoever started it is gone or wants no more: nothing that goes on here, or hangs, is for anybody.
  process.once("disconnect", () => process.exit());
  process.on("message", async ({ id, command, values }: Request) => {
    try {
      process.send!({ id, value: await commands[command]!(...values) });
    } catch (error) {
      process.send!({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
}
