/**
 * Which arguments of a request are secrets: the slow log and MONITOR show `(redacted)` in their place. COLD.
 * Follows Redis' calls of redactClientCommandArgument.
 */
import type { Call } from "./call.ts";

const SECRET_DIRECTIVES = new Set(["masteruser", "masterauth", "requirepass", "tls-key-file-pass", "tls-client-key-file-pass"]);

/** Argument i as it may be shown. Latin1. */
export function shownArgument(call: Call, i: number): string {
  return isSecret(call, i) ? "(redacted)" : call.text(i);
}

export function isSecret(call: Call, i: number): boolean {
  switch (call.command.name) {
    case "auth":
      return i > 0;
    case "hello":
      return call.is(i - 1, "auth") || (i > 3 && call.is(i - 2, "auth"));
    case "acl|setuser":
    case "acl|getuser":
    case "acl|deluser":
      return i > 1;
    case "config|set":
      return i > 2 && i % 2 === 1 && SECRET_DIRECTIVES.has(call.lower(i - 1));
    case "migrate":
      return migrateSecret(call, i);
    default:
      return false;
  }
}

function migrateSecret(call: Call, i: number): boolean {
  for (let k = 6; k < i; k++) {
    if (call.is(k, "auth") && i === k + 1) return true;
    if (call.is(k, "auth2") && i <= k + 2) return true;
    if (call.is(k, "keys")) return false;
  }
  return false;
}
