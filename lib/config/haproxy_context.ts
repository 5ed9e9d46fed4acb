/**
 * What every row of the keyword tables works with: the line at hand, where findings go, the section being filled. COLD.
 * Findings are printed in the order they come, as `[ALERT] (pid) : config : TEXT`; the reader stops after 50 alerts as HAProxy does.
 */
import type { HaproxyConfig, Place, ProxyConfig, RingConfig } from "./haproxy_model.ts";
import { readTime } from "./haproxy_units.ts";

export const FATAL_MAX = 50;

export interface Finding {
  level: "alert" | "warning" | "notice";
  text: string;
}

export class Context implements Place {
  readonly config: HaproxyConfig;
  readonly findings: Finding[];
  /** Words and files of the line being read. */
  file: string;
  line: number;
  args: string[];
  /** The section as its keyword names it: global, defaults, frontend, ... */
  section: string;
  proxy: ProxyConfig | null;
  ring: RingConfig | null;
  /** A `no` or `default` stood in front. */
  negated: "" | "no" | "default";
  alerts: number;
  warnings: number;
  /** Set when reading cannot go on (HAProxy's ERR_ABORT). */
  aborted: boolean;

  constructor(config: HaproxyConfig) {
    this.config = config;
    this.findings = [];
    this.file = "";
    this.line = 0;
    this.args = [];
    this.section = "";
    this.proxy = null;
    this.ring = null;
    this.negated = "";
    this.alerts = 0;
    this.warnings = 0;
    this.aborted = false;
  }

  /** `f:n`, as it stands between the brackets. */
  get at(): string {
    return `${this.file}:${this.line}`;
  }
  /** A finding in full, without the place. */
  alertText(text: string): void {
    this.alerts++;
    this.findings.push({ level: "alert", text });
  }
  warnText(text: string): void {
    this.warnings++;
    this.findings.push({ level: "warning", text });
  }
  noticeText(text: string): void {
    this.findings.push({ level: "notice", text });
  }
  /** `parsing [f:n] : TEXT`. */
  alert(text: string): void {
    this.alertText(`parsing [${this.at}] : ${text}`);
  }
  warn(text: string): void {
    this.warnText(`parsing [${this.at}] : ${text}`);
  }
  /** `parsing [f:n]: TEXT`: HAProxy leaves the space out in half of its messages, and scripts may match them. */
  alertTight(text: string): void {
    this.alertText(`parsing [${this.at}]: ${text}`);
  }
  warnTight(text: string): void {
    this.warnText(`parsing [${this.at}]: ${text}`);
  }

  /** An argument that the line may not have. False when it was reported. */
  atMost(count: number, name = this.args[0]!): boolean {
    const extra = this.args[count + 1];
    if (extra === undefined) return true;
    this.alert(`'${name}' cannot handle unexpected argument '${extra}'.`);
    return false;
  }
  /** A delay at args[index] of the statement called `name`; null when it was reported. */
  time(index: number, name: string, defaultUnit: "ms" | "s" = "ms"): number | null {
    const text = this.args[index];
    if (text === undefined || text === "") {
      this.alert(`'${name}' expects an integer value (in milliseconds)`);
      return null;
    }
    const t = readTime(text, defaultUnit);
    if (t.error === "overflow")
      this.alert(`timer overflow in argument '${text}' to '${name}' (maximum value is 2147483647 ms or ~24.8 days)`);
    else if (t.error === "unexpected") this.alert(`unexpected character '${t.character}' in '${name}'`);
    else {
      this.trailing(text, t.trailing);
      return t.ms;
    }
    return null;
  }
  /** HAProxy 2.6 only warns of a character behind a complete time. */
  trailing(text: string, rest: string | undefined): void {
    if (rest !== undefined)
      this.warnText(
        `unexpected character '${rest[0]}' after the timer value '${text}', only (us=microseconds,ms=milliseconds,s=seconds,m=minutes,h=hours,d=days) are supported. This will be reported as an error in next versions.`,
      );
  }
}

/** Sections in which a row may stand: defaults, frontend side, backend side. A listen section is both. */
export const D = 1;
export const F = 2;
export const B = 4;

/** One row a directive: the only registration of a keyword. */
export interface Row {
  /** Where it makes sense; elsewhere HAProxy warns that it is ignored. 0 for global rows. */
  where: number;
  /** True: not even in `defaults`. */
  parse(c: Context): void;
}
export type Table = Record<string, Row>;

/** The sentence HAProxy adds when the same thing has another name on the other side. */
const INSTEAD: Record<string, string> = {
  maxconn: " Maybe you want 'fullconn' instead ?",
  fullconn: " Maybe you want 'maxconn' instead ?",
};

/** Warns when the row does not belong to this side of a proxy; parsing goes on all the same, as in HAProxy. True: it belongs. */
export function belongs(c: Context, where: number, name: string): boolean {
  const p = c.proxy!;
  if (p.kind === "defaults" || p.kind === "listen") return true;
  if (p.kind === "frontend" && (where & F) === 0) {
    c.warn(`'${name}' ignored because frontend '${p.name}' has no backend capability.${INSTEAD[name] ?? ""}`);
    return false;
  }
  if (p.kind === "backend" && (where & B) === 0) {
    c.warn(`'${name}' ignored because backend '${p.name}' has no frontend capability.${INSTEAD[name] ?? ""}`);
    return false;
  }
  return true;
}
