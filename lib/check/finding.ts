/** What --check and --doctor say: one finding, with the mend. Pure. */

export type Level = "error" | "warning" | "advice";

export interface Finding {
  level: Level;
  /** `file:line`, a file, a setting of the machine, an address. */
  place: string;
  text: string;
  /** What to do. */
  mend: string;
}

const ORDER: Record<Level, number> = { error: 0, warning: 1, advice: 2 };

/** Worst first, otherwise in the order found. */
export function sorted(findings: readonly Finding[]): Finding[] {
  return [...findings].sort((a, b) => ORDER[a.level] - ORDER[b.level]);
}

export function lines(findings: readonly Finding[]): string[] {
  return sorted(findings).flatMap((f) => [
    `${f.level.toUpperCase().padEnd(8)} ${f.place}`,
    `         ${f.text}`,
    `         -> ${f.mend}`,
    "",
  ]);
}

/** 2 with errors, 1 with warnings, else 0. */
export function exitCode(findings: readonly Finding[]): number {
  return findings.some((f) => f.level === "error") ? 2 : findings.some((f) => f.level === "warning") ? 1 : 0;
}
