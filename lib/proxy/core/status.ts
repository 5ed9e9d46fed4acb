/** Check statuses: their numbers (`show servers state`), short names (stats) and texts (logs) as HAProxy numbers and words them. Pure. */
export const STATUS = {
  UNKNOWN: 0,
  INI: 1,
  CHECKED: 3,
  HANA: 4,
  SOCKERR: 5,
  L4OK: 6,
  L4TOUT: 7,
  L4CON: 8,
  L6OK: 9,
  L6TOUT: 10,
  L6RSP: 11,
  L7TOUT: 12,
  L7RSP: 13,
  L7OK: 15,
  L7OKC: 16,
  L7STS: 17,
} as const;
export type StatusName = keyof typeof STATUS;

const TEXT: Record<StatusName, string> = {
  UNKNOWN: "Unknown",
  INI: "Initializing",
  CHECKED: "No status change",
  HANA: "Health analyze",
  SOCKERR: "Socket error",
  L4OK: "Layer4 check passed",
  L4TOUT: "Layer4 timeout",
  L4CON: "Layer4 connection problem",
  L6OK: "Layer6 check passed",
  L6TOUT: "Layer6 timeout",
  L6RSP: "Layer6 invalid response",
  L7TOUT: "Layer7 timeout",
  L7RSP: "Layer7 invalid response",
  L7OK: "Layer7 check passed",
  L7OKC: "Layer7 check conditionally passed",
  L7STS: "Layer7 wrong status",
};
const PASSES: StatusName[] = ["L4OK", "L6OK", "L7OK"];

/** What a finished check found. */
export interface CheckResult {
  status: StatusName;
  /** Printed as `code: N` with L7OK, L7OKC and L7STS alone. */
  code: number;
  info: string;
  /** -1: there was no check that could have taken time. */
  durationMs: number;
}

export function passed(status: StatusName): boolean {
  return PASSES.includes(status);
}
export function statusText(status: StatusName): string {
  return TEXT[status];
}
/** `, reason: ..., code: ..., info: "...", check duration: Nms`: what log lines carry of a check. */
export function reasonText(r: CheckResult): string {
  const code = STATUS[r.status] >= STATUS.L7OK ? `, code: ${r.code}` : "";
  const info = r.info === "" ? "" : `, info: "${r.info}"`;
  const duration = r.durationMs < 0 ? "" : `, check duration: ${r.durationMs}ms`;
  return `, reason: ${TEXT[r.status]}${code}${info}${duration}`;
}
