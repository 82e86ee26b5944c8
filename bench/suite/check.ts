/** Whether a results file is whole, agrees with itself, and says in its headline what its own samples say. */
import { Errors } from "@sinclair/typebox/errors";
import { checkHeadline } from "./check-headline.js";
import { checkRecord } from "./check-record.js";
import type { Results } from "./results.js";
import { resultsSchema } from "./schema.js";

/** What is wrong, as sentences; none when the file is sound. */
export function checkResults(results: unknown): string[] {
  const shape = [...Errors(resultsSchema, [], results)].map(
    ({ path, message }) => `${path || "/"}: ${message}.`,
  );
  if (shape.length > 0) return shape;
  const whole = results as Results;
  const record = checkRecord(whole);
  return record.length > 0 ? record : checkHeadline(whole);
}
