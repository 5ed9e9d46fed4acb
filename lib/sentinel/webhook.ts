/**
 * Webhooks: warnings about a master as JSON, POSTed one after the other to each address. COLD.
 *
 *     {"master": "mymaster", "event": "+sdown", "payload": "master mymaster 10.0.0.1 6379", "sentinel": "<myid>", "time": "<ISO 8601>"}
 *
 * As with scripts: bounded queue (the oldest goes), a bound for each request, a few attempts with growing distance. A failover never waits
 * for any of it.
 */
import type { Action } from "./core/types.ts";

const MAX_QUEUE = 256;
const MAX_RUNS = 5;
const REQUEST_MS = 5000;
const RETRY_MS = 1000;

interface Call {
  url: string;
  body: string;
  runs: number;
}

export interface WebhookOptions {
  myid: string;
  log(text: string): void;
}

export class Webhooks {
  private readonly options: WebhookOptions;
  private readonly queues: Map<string, Call[]>;
  /** Calls that were given up or pushed out of a full queue; for /metrics. */
  lost: number;
  sent: number;

  constructor(options: WebhookOptions) {
    this.options = options;
    this.queues = new Map();
    this.lost = 0;
    this.sent = 0;
  }

  add(a: Action & { kind: "webhook" }): void {
    const body = JSON.stringify({
      master: a.master,
      event: a.type,
      payload: a.payload,
      sentinel: this.options.myid,
      time: new Date().toISOString(),
    });
    const queue = this.queues.get(a.url);
    const call = { url: a.url, body, runs: 0 };
    if (queue === undefined) {
      this.queues.set(a.url, [call]);
      // Not within the engine's list of actions: a failover is under way.
      setImmediate(() => void this.work(a.url));
      return;
    }
    queue.push(call);
    if (queue.length <= MAX_QUEUE) return;
    // The first is under way.
    queue.splice(1, 1);
    this.lost++;
  }

  private async work(url: string): Promise<void> {
    const queue = this.queues.get(url)!;
    for (let call = queue[0]; call !== undefined; call = queue[0]) {
      const problem = await post(call);
      call.runs++;
      if (problem === "") this.sent++;
      else if (call.runs < MAX_RUNS) {
        await Bun.sleep(RETRY_MS * 2 ** (call.runs - 1));
        continue;
      } else {
        this.lost++;
        this.options.log(`Webhook ${url} given up after ${call.runs} attempts: ${problem}`);
      }
      queue.shift();
    }
    this.queues.delete(url);
  }
}

async function post(call: Call): Promise<string> {
  try {
    const reply = await fetch(call.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: call.body,
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    await reply.arrayBuffer();
    return reply.ok ? "" : `HTTP ${reply.status}`;
  } catch (error) {
    return (error as Error).message;
  }
}
