/**
 * The dashboard: one HTML text with its styles, its script and uPlot inside, so that it needs no other host and no other file. Cold.
 * It asks for its data once a second, whoever serves it; with a token it may also POST `failover`.
 */
import uplotScript from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import uplotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import source from "./dashboard.html" with { type: "text" };

/** One line of a chart's data: a value a sample, null where the server did not answer. */
export interface ServerSeries {
  ops: (number | null)[];
  ping: (number | null)[];
  behind: (number | null)[];
  clients: (number | null)[];
}
export interface Series {
  /** Seconds since 1970. */
  times: number[];
  servers: Record<string, ServerSeries>;
}
/** What goes through one section of a proxy in mode redis, as the page shows it. Counters are since its start. */
export interface Traffic {
  proxy: string;
  clients: number;
  waiting_clients: number;
  /** Sent to a master that went, kept for the next one. */
  waiting_requests: number;
  under_way: number;
  held_total: number;
  replayed_total: number;
  unknown_total: number;
  lost_bytes_total: number;
  /** Asked for most; `share` of all requests, 0..1. */
  hot_keys: { key: string; calls: number; share: number }[];
}

/**
 * The page; `token` "" leaves the actions out. `nonce` stands in the Content-Security-Policy as well. `dataUrl`: where its data is, absolute or
 * beside the page.
 */
export function dashboard(token: string, nonce: string, dataUrl = "data.json"): string {
  return (source as unknown as string)
    .replace("/*UPLOT_CSS*/", () => uplotStyle)
    .replace("/*UPLOT_JS*/", () => uplotScript)
    .replaceAll("NONCE", nonce)
    .replace('"TOKEN"', () => JSON.stringify(token))
    .replace('"DATA"', () => JSON.stringify(dataUrl).replaceAll("<", "\\u003c"));
}

/** Nothing from elsewhere, no frame, no form that leaves. */
export function pageHeaders(nonce: string): Record<string, string> {
  return {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'`,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  };
}
