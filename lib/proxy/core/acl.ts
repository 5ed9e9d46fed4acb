/** Truth of a condition: the tests of ACLs against what the caller knows of servers and of the connection. Pure. */
import type { AclTest, Condition } from "../../config/haproxy_model.ts";

/** Answers a fetch: a number, a text, true/false, or null when there is nothing to compare. */
export type Fetch = (name: string, argument: string) => number | string | boolean | null;

export function isTrue(condition: Condition | null, fetch: Fetch): boolean {
  if (condition === null) return true;
  const any = condition.anyOf.some((all) => all.every((term) => term.tests.some((t) => testIsTrue(t, fetch)) !== term.negate));
  return any !== condition.unless;
}

function testIsTrue(t: AclTest, fetch: Fetch): boolean {
  const value = fetch(t.fetch, t.argument);
  if (t.match === "found") return value !== null;
  if (value === null) return false;
  if (typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (t.values.length === 0) return value !== 0;
    return t.values.some((v) => compare(value, v, t.operator));
  }
  return t.values.some((v) => matchText(t, value, v));
}

/** `3`, `10:20` (a range) or an operator's right side. */
function compare(value: number, text: string, operator: AclTest["operator"]): boolean {
  const range = /^(\d*):(\d*)$/.exec(text);
  if (range !== null) return value >= Number(range[1] || 0) && value <= (range[2] === "" ? Infinity : Number(range[2]));
  const n = Number(text);
  switch (operator) {
    case "eq":
      return value === n;
    case "ge":
      return value >= n;
    case "gt":
      return value > n;
    case "le":
      return value <= n;
    case "lt":
      return value < n;
  }
}

function matchText(t: AclTest, value: string, pattern: string): boolean {
  if (t.fetch === "src" || t.fetch === "dst" || t.match === "ip") return inNetwork(value, pattern);
  const v = t.ignoreCase ? value.toLowerCase() : value;
  const p = t.ignoreCase ? pattern.toLowerCase() : pattern;
  switch (t.match) {
    case "beg":
      return v.startsWith(p);
    case "end":
      return v.endsWith(p);
    case "sub":
      return v.includes(p);
    case "reg":
      return new RegExp(pattern, t.ignoreCase ? "i" : "").test(value);
    default:
      return v === p;
  }
}

/** `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `::1`, `fe80::/10`. */
export function inNetwork(address: string, network: string): boolean {
  const [base, mask] = network.split("/");
  const a = bits(address);
  const b = bits(base!);
  if (a === null || b === null || a.length !== b.length) return false;
  let length = a.length;
  if (mask !== undefined) {
    if (/^\d+$/.test(mask)) length = Number(mask);
    else {
      const m = bits(mask);
      if (m === null) return false;
      length = m.includes("0") ? m.indexOf("0") : m.length;
    }
  }
  return a.slice(0, length) === b.slice(0, length);
}

function bits(address: string): string | null {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (v4 !== null) return v4.slice(1).map((n) => Number(n).toString(2).padStart(8, "0")).join(""); // prettier-ignore
  if (!address.includes(":")) return null;
  const [head, tail] = address.split("::");
  const left = head === "" ? [] : head!.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = address.includes("::")
    ? [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0"), ...right]
    : left;
  if (groups.length !== 8) return null;
  return groups.map((g) => Number.parseInt(g, 16).toString(2).padStart(16, "0")).join("");
}
