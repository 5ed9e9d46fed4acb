/**
 * The tcp-check interpreter: rules in, what to do next out; a machine that the driver feeds with what happens on the wire. Pure.
 * HAProxy configuration 4.2 "tcp-check" and 2.6's behaviour (K1-K11 in the notes).
 *
 *   start -> {connect} -> connected() -> {send | wait} -> data(bytes) -> ... -> {done, result}
 *                                                        closed() / failed() / timedOut()
 *
 * An `expect` that does not match waits for more bytes until the stream ends, the buffer is full or `min-recv` bytes are there.
 * Ours on top, unless `strict`: when what has come is complete RESP replies and the pattern is not in them, the rule fails at once, because
 * a server has no more to say; that spares a replica's check its whole interval.
 */
import type { TcpCheckConnect, TcpCheckExpect, TcpCheckRule } from "../../config/haproxy_model.ts";
import { judgeResponse } from "./http_check.ts";
import type { CheckResult, StatusName } from "./status.ts";

/** What the driver has to do now. */
export type CheckAction =
  | { kind: "connect"; rule: TcpCheckConnect }
  /** Write these bytes, then call sent(). */
  | { kind: "send"; bytes: string }
  | { kind: "wait" }
  | { kind: "done"; result: CheckResult };

const WAIT: CheckAction = { kind: "wait" };
const BUFFER_MAX = 16 * 1024;

export class TcpCheck {
  readonly rules: readonly TcpCheckRule[];
  readonly strict: boolean;
  /** Messages say at which step; those of plain connects and of option redis-check do not. */
  private readonly namesSteps: boolean;
  readonly startedMs: number;
  /** The rule being worked on. */
  index: number;
  /** Number of `index` as messages count it: an implicit connect is 0, the first written rule 1. */
  private readonly offset: number;
  /** Input since the last send or connect, latin1. */
  input: string;
  private ended: boolean;
  private connecting: boolean;
  private comment: string;
  /** The rule whose success is the check's, for its ok-status. */
  private lastExpect: TcpCheckExpect | null;
  private finished: boolean;

  constructor(rules: readonly TcpCheckRule[], strict: boolean, nowMs: number, namesSteps = true) {
    this.rules = rules;
    this.namesSteps = namesSteps;
    this.strict = strict;
    this.startedMs = nowMs;
    this.index = 0;
    this.offset = rules[0]?.kind === "connect" && rules[0].implicit ? 0 : 1;
    this.input = "";
    this.ended = false;
    this.connecting = false;
    this.comment = "";
    this.lastExpect = null;
    this.finished = false;
  }

  /** The first thing to do. */
  start(nowMs: number): CheckAction {
    return this.run(nowMs);
  }
  /** The connection asked for is there (with TLS: shaken hands). */
  connected(nowMs: number): CheckAction {
    this.connecting = false;
    this.index++;
    return this.run(nowMs);
  }
  /** The bytes of a send have left. */
  sent(nowMs: number): CheckAction {
    this.index++;
    return this.run(nowMs);
  }
  /** Bytes came in. */
  data(bytes: string, nowMs: number): CheckAction {
    this.input = (this.input + bytes).slice(0, BUFFER_MAX);
    return this.run(nowMs);
  }
  /** The peer has closed or reset: what is there is all there will be. */
  closed(nowMs: number): CheckAction {
    this.ended = true;
    return this.connecting ? this.failed("Connection reset by peer", nowMs) : this.run(nowMs);
  }
  /** No connection: `text` is the system's word for it. */
  failed(text: string, nowMs: number, status: StatusName = "L4CON"): CheckAction {
    return this.done(status, `${text}${this.at()}`, nowMs);
  }
  /** The time is over. */
  timedOut(nowMs: number): CheckAction {
    const rule = this.rules[this.index];
    if (this.connecting || rule?.kind === "connect") return this.done("L4TOUT", this.at(), nowMs);
    const status = rule?.kind === "expect" ? rule.toutStatus : "L7TOUT";
    return this.done(status, this.at(), nowMs);
  }

  /** ` at step 5 of tcp-check (expect string 'role:master')`, with the comment in force. */
  private at(): string {
    const rule = this.rules[this.index];
    if (rule === undefined || !this.namesSteps) return "";
    const step = this.index + this.offset;
    if (step === 0) return " at initial connection step of tcp-check";
    const comment = this.commentFor(rule);
    return `${step > 0 ? ` at step ${step} of tcp-check${describe(rule)}` : ""}${comment === "" ? "" : ` comment: '${comment}'`}`;
  }
  private commentFor(rule: TcpCheckRule): string {
    return rule.comment !== "" ? rule.comment : this.comment;
  }

  private done(status: StatusName, info: string, nowMs: number, code = 0): CheckAction {
    this.finished = true;
    return { kind: "done", result: { status, code, info, durationMs: Math.max(0, Math.round(nowMs - this.startedMs)) } };
  }

  private run(nowMs: number): CheckAction {
    if (this.finished || this.connecting) return WAIT;
    for (;;) {
      const rule = this.rules[this.index];
      if (rule === undefined) return this.success(nowMs);
      if (rule.kind === "comment") {
        this.comment = rule.comment;
        this.index++;
      } else if (rule.kind === "connect") {
        this.input = "";
        this.ended = false;
        this.connecting = true;
        this.lastExpect = null;
        return { kind: "connect", rule };
      } else if (rule.kind === "send") {
        this.input = "";
        this.lastExpect = null;
        if (this.ended) return this.done("L7RSP", `Connection closed${this.at()}`, nowMs);
        return { kind: "send", bytes: rule.data };
      } else if (rule.kind === "http") {
        const verdict = judgeResponse(rule, this.input, this.ended || this.input.length >= BUFFER_MAX);
        if (verdict === null) return WAIT;
        this.index++;
        if (!verdict.passed || this.rules[this.index] === undefined) return this.done(verdict.status, verdict.info, nowMs, verdict.code);
      } else {
        const verdict = this.evaluate(rule);
        if (verdict === "wait") return WAIT;
        if (verdict !== "match") return this.mismatch(rule, verdict, nowMs);
        this.lastExpect = rule;
        this.index++;
        // A comment is about the rules up to the next success.
        this.comment = "";
      }
    }
  }

  private success(nowMs: number): CheckAction {
    if (this.lastExpect !== null) {
      const info = this.lastExpect.onSuccess === "" ? "(tcp-check)" : this.lastExpect.onSuccess;
      return this.done(this.lastExpect.okStatus, info, nowMs);
    }
    const last = [...this.rules].reverse().find((r) => r.kind !== "comment");
    if (last === undefined || last.kind === "connect") return this.done(last?.ssl ? "L6OK" : "L4OK", "", nowMs);
    return this.done("L7OK", "(tcp-check)", nowMs);
  }

  /** Whether the input satisfies the rule, cannot any more, or may yet. */
  private evaluate(rule: TcpCheckExpect): "match" | "wait" | "no match" | "unwanted" | "empty" {
    const input = this.input;
    const last = this.ended || input.length >= BUFFER_MAX;
    if (!last && rule.minRecv >= 0 && input.length < rule.minRecv) return "wait";
    if (!last && rule.minRecv < 0 && rule.bytes !== "" && input.length < rule.bytes.length && !this.complete(input)) return "wait";
    if (input.length === 0) return last ? "empty" : "wait";
    const found = matches(rule, input);
    const conclusive = last || rule.minRecv >= 0 || this.complete(input);
    if (found) return rule.inverse ? "unwanted" : "match";
    if (!conclusive) return "wait";
    return rule.inverse ? "match" : "no match";
  }
  /** Ours: whole RESP replies and nothing behind them. Only where rules talk to a Redis, and not in strict mode. */
  private complete(input: string): boolean {
    return !this.strict && wholeReplies(input);
  }

  private mismatch(rule: TcpCheckExpect, why: "no match" | "unwanted" | "empty", nowMs: number): CheckAction {
    const step = this.index + this.offset;
    const what = rule.form.includes("binary")
      ? `binary '${Buffer.from(rule.bytes, "latin1").toString("hex").toUpperCase() || rule.text}'`
      : `'${rule.text}'`;
    let text: string;
    if (rule.onError !== "") text = rule.onError;
    else if (why === "empty") text = `TCPCHK got an empty response at step ${step}`;
    else if (rule.form.endsWith("binary") || rule.form === "binary-lf")
      text = `TCPCHK ${why === "unwanted" ? "matched unwanted content" : "did not match content"} (${rule.form === "rbinary" ? "regex" : "binary"}) at step ${step}`;
    else if (rule.form === "rstring")
      text = `TCPCHK ${why === "unwanted" ? "matched unwanted content" : "did not match content"} (regex) at step ${step}`;
    else text = `TCPCHK ${why === "unwanted" ? "matched unwanted content" : "did not match content"} ${what} at step ${step}`;
    const comment = this.commentFor(rule);
    if (comment !== "") text += ` comment: ${comment}`;
    return this.done(rule.errorStatus, text, nowMs);
  }
}

/** ` (expect string 'role:master')`, ` (connect)`, ` (send)`: which rule the message is about. */
function describe(rule: TcpCheckRule): string {
  switch (rule.kind) {
    case "connect":
      return rule.port > 0 ? ` (connect port ${rule.port})` : " (connect)";
    case "send":
      return " (send)";
    case "comment":
    case "http":
      return "";
    case "expect":
      switch (rule.form) {
        case "string":
        case "string-lf":
          return ` (expect string '${rule.text}')`;
        case "binary":
        case "binary-lf":
          return ` (expect binary '${rule.text.toUpperCase()}')`;
        case "rstring":
          return " (expect regex)";
        case "rbinary":
          return " (expect binary regex)";
      }
  }
}

function matches(rule: TcpCheckExpect, input: string): boolean {
  if (rule.form === "rstring") return rule.regex!.test(input);
  if (rule.form === "rbinary") return rule.regex!.test(Buffer.from(input, "latin1").toString("hex").toUpperCase());
  return input.includes(rule.bytes);
}

/** True when `text` is one or more complete RESP2/3 replies with nothing behind. Never true for text that is not RESP. */
export function wholeReplies(text: string): boolean {
  let at = 0;
  if (text.length === 0) return false;
  while (at < text.length) {
    at = skipReply(text, at, 0);
    if (at < 0) return false;
  }
  return true;
}

/** End of the reply that begins at `at`; -1 when it is incomplete or no RESP. */
function skipReply(text: string, at: number, depth: number): number {
  const end = text.indexOf("\r\n", at);
  if (end < 0 || depth > 8) return -1;
  const count = Number(text.slice(at + 1, end));
  switch (text[at]) {
    case "+":
    case "-":
    case ":":
    case "_":
    case "#":
    case ",":
    case "(":
      return end + 2;
    case "$":
    case "=":
    case "!":
      if (!Number.isInteger(count)) return -1;
      if (count < 0) return end + 2;
      return end + 2 + count + 2 <= text.length ? end + 2 + count + 2 : -1;
    case "*":
    case "~":
    case ">":
    case "%": {
      if (!Number.isInteger(count)) return -1;
      let next = end + 2;
      for (let i = 0; i < (text[at] === "%" ? count * 2 : count) && next >= 0; i++) next = skipReply(text, next, depth + 1);
      return next;
    }
    default:
      return -1;
  }
}
