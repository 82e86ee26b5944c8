import type { Ask, Commands, Told } from "../messages.js";

/** How long a process may live on when the supervisor has let go of it, or has died. */
const endMs = 10_000;

/** Runs the supervisor's commands, each when it comes. The process ends by itself when the supervisor lets go of it. */
export function serve(commands: Commands): void {
  process.on("disconnect", () => {
    setTimeout(() => process.exit(3), endMs).unref();
  });
  process.on("message", async ({ id, command, values }: Ask) => {
    try {
      tell({ id, value: await commands[command]!(...(values as never[])) });
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string };
      tell({ id, error: { code, message: message ?? String(error) } });
    }
  });
}

/** Says what happened here. */
export function note(note: string, text = ""): void {
  tell({ note, text });
}

function tell(message: Told): void {
  // The supervisor may have gone; then nobody wants to know.
  if (process.connected) process.send!(message);
}
