/**
 * redisha: one executable that is a Redis server, a Sentinel or a proxy.
 * Only argv is read here; each mode is imported when it is the one asked for, so that `--version` costs no imports.
 */
declare const VERSION: string;
export const version = typeof VERSION === "string" ? VERSION : "0.0.0-dev";
if (process.argv.includes("--version")) console.log(`redisha ${version}`);
