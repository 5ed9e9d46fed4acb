/** The state lines of servers and backends as HAProxy 2.6 words them (H4-H6 in the notes). Pure. */
import { passed, reasonText, statusText, type CheckResult } from "./status.ts";

export interface ServerCounts {
  activeServers: number;
  backupServers: number;
  /** Sessions on the server when it went down. */
  sessions: number;
  requeued: number;
  /** Waiting for this server. */
  queued: number;
}

const who = (backup: boolean, path: string): string => `${backup ? "Backup " : ""}Server ${path}`;
const running = (c: ServerCounts): string => (c.activeServers === 0 && c.backupServers > 0 ? " Running on backup." : "");

/** `Server be/s is DOWN, reason: ...`; `reason` begins with its comma or is empty, `via` names a tracked server. */
export function downLine(path: string, backup: boolean, reason: string, c: ServerCounts, what = "is DOWN"): string {
  return (
    `${who(backup, path)} ${what}${reason}. ${c.activeServers} active and ${c.backupServers} backup servers left.${running(c)}` +
    ` ${c.sessions} sessions active, ${c.requeued} requeued, ${c.queued} remaining in queue.`
  );
}
export function upLine(path: string, backup: boolean, reason: string, c: ServerCounts): string {
  return changeLine(path, backup, "is UP", reason, c);
}
/** `Server be/s enters drain state. ...`, `is stopping, changed from CLI. ...`: what is told with the servers that are left online. */
export function changeLine(path: string, backup: boolean, what: string, reason: string, c: ServerCounts): string {
  return (
    `${who(backup, path)} ${what}${reason}. ${c.activeServers} active and ${c.backupServers} backup servers online.${running(c)}` +
    ` ${c.requeued} sessions requeued, ${c.queued} total in queue.`
  );
}
/** The separate line of log-health-checks: `Health check for server be/s failed, reason: ..., status: 2/3 UP.` */
export function healthLine(path: string, backup: boolean, r: CheckResult, health: string): string {
  const verdict = r.status === "L7OKC" ? "conditionally succeeded" : passed(r.status) ? "succeeded" : "failed";
  return `Health check for ${backup ? "backup " : ""}server ${path} ${verdict}${reasonText(r)}, status: ${health}.`;
}
/** Syslog has the name bare, stderr in quotes; `kind` is backend, or proxy for a listen section. */
export function noServerLine(kind: string, name: string, quoted: boolean): string {
  return `${kind} ${quoted ? `'${name}'` : name} has no server available!`;
}
export { reasonText, statusText };
