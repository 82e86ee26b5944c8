// Prints the last line of a run: node summary.js RESULTS.json EXIT_STATUS
const { readFileSync } = require("node:fs");

function read(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    // The run ended before the tests did.
    return { numPassedTests: 0, numFailedTests: 0, testResults: [] };
  }
}

const { numPassedTests, numFailedTests, testResults } = read(process.argv[2]);
// A file that could not be loaded has no tests that could fail.
const brokenFiles = testResults.filter(
  ({ status, assertionResults }) =>
    status === "failed" && !assertionResults.some((test) => test.status === "failed"),
).length;
const failed = numFailedTests + brokenFiles;
// A step beside the tests counts as one.
const steps = process.argv[3] !== "0" && failed === 0 ? 1 : 0;
console.log(`${numPassedTests} passed, ${failed + steps} failed`);
