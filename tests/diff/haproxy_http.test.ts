/**
 * `mode http` sections as Redis set-ups have them, in the real haproxy 2.6 and ours: monitor-uri, the stats page's password, forms and CSV, the
 * Prometheus metrics' names, types and labels. The page itself is ours; headless Chromium, where it is installed, opens it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { hasHaproxy, freePort, tempDir, until, type Program } from "../support/programs.ts";
import { startProxy, Target } from "../support/proxy.ts";

const KINDS = ["haproxy", "redisha"] as const;
const CONFIG = (kind: string, a: number, http: number): string => `global
${kind === "redisha" ? " strict-haproxy on" : " nbthread 1"}
defaults
 mode tcp
 timeout connect 1s
 timeout client 20s
 timeout server 20s
 timeout check 10s
frontend f
 bind 127.0.0.1:{port}
 default_backend b
backend b
 server s1 127.0.0.1:${a} check inter 500ms
 server s2 127.0.0.1:1 check inter 500ms
frontend web
 mode http
 bind 127.0.0.1:${http}
 monitor-uri /healthz
 http-request use-service prometheus-exporter if { path /metrics }
 http-request return status 200 content-type text/plain string hello if { path_beg /hello }
 stats enable
 stats uri /stats
 stats auth admin:secret
 stats admin if TRUE
`;
const BASIC = { authorization: `Basic ${Buffer.from("admin:secret").toString("base64")}` };
const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => existsSync(p));

describe.skipIf(!hasHaproxy)("mode http", () => {
  let target: Target;
  const proxies = new Map<string, Program>();
  const ports = new Map<string, number>();
  beforeAll(async () => {
    target = await Target.start(() => {});
    for (const kind of KINDS) {
      const http = freePort();
      ports.set(kind, http);
      proxies.set(kind, await startProxy(kind, CONFIG(kind, target.port, http)));
    }
  });
  afterAll(async () => {
    for (const p of proxies.values()) await p[Symbol.asyncDispose]();
    await target.stop();
  });
  const get = (kind: string, path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`http://127.0.0.1:${ports.get(kind)}${path}`, { redirect: "manual", ...init });
  const both = async (path: string, init: RequestInit = {}): Promise<{ status: number; location: string | null; body: string }[]> =>
    Promise.all(
      KINDS.map(async (k) => {
        const r = await get(k, path, init);
        return { status: r.status, location: r.headers.get("location"), body: await r.text() };
      }),
    );

  test("monitor-uri, a fixed answer, what nobody serves", async () => {
    for (const path of ["/healthz", "/hello/you", "/nosuch"]) {
      const [a, b] = await both(path);
      expect([path, b!.status, b!.body]).toEqual([path, a!.status, a!.body]);
    }
  });

  test("the password", async () => {
    for (const headers of [{}, { authorization: "Basic bm86" }, { authorization: "Bearer x" }] as Record<string, string>[]) {
      const answers = await Promise.all(KINDS.map((k) => get(k, "/stats", { headers })));
      expect(answers.map((r) => [r.status, r.headers.get("www-authenticate")])).toEqual(
        KINDS.map(() => [401, 'Basic realm="HAProxy Statistics"']),
      );
    }
  });

  test("CSV, and what forms do", async () => {
    const head = (text: string): string => text.split("\n")[0]!;
    const [a, b] = await both("/stats;csv", { headers: BASIC });
    expect(head(b!.body)).toBe(head(a!.body));
    for (const body of ["s=s1&action=drain&b=b", "s=s1&action=ready&b=b", "s=s1&s=zz&action=ready&b=b", "s=s1&action=nosuch&b=b", "action=ready&b=b", "s=s1&action=ready&b=zz"]) {
      const [x, y] = await both("/stats", { method: "POST", body, headers: { ...BASIC, "content-type": "application/x-www-form-urlencoded" } });
      expect([body, y!.status, y!.location]).toEqual([body, x!.status, x!.location]);
    } // prettier-ignore
    const foreign = await get("redisha", "/stats", { method: "POST", body: "s=s1&action=maint&b=b", headers: { ...BASIC, origin: "http://evil.example" } }); // prettier-ignore
    expect(foreign.headers.get("location")).toBe("/stats;st=DENY");
  });

  test("metrics: the same families, types and labels", async () => {
    await until("checks of both", async () =>
      (await both("/metrics")).every((m) => m.body.includes('haproxy_server_check_status{proxy="b",server="s2",state="L4CON"} 1')),
    );
    const [a, b] = await both("/metrics");
    const types = (text: string): string[] => text.split("\n").filter((l) => l.startsWith("# TYPE")).sort(); // prettier-ignore
    // hrsp, req_rate and caches are counted for HTTP traffic alone, which does not go through us.
    const tcp = (l: string): boolean => !/http_(responses|requests|cache)|intercepted_requests/.test(l);
    expect(types(b!.body)).toEqual(types(a!.body).filter(tcp));
    const labels = (text: string): string[] => text.split("\n").filter((l) => /^haproxy_(server|backend)_\w*status/.test(l)).map((l) => l.replace(/ \d+$/, "")).sort(); // prettier-ignore
    expect(labels(b!.body)).toEqual(labels(a!.body));
    expect(b!.body).toContain('haproxy_server_status{proxy="b",server="s2",state="DOWN"} 1');
    const narrowed = await (await get("redisha", "/metrics?scope=server&metrics=haproxy_server_status")).text();
    expect(types(narrowed)).toEqual(["# TYPE haproxy_server_status gauge"]);
  });

  test("the page: states, a form, nothing that could be taken for markup", async () => {
    const r = await get("redisha", "/stats", { headers: BASIC });
    const html = await r.text();
    expect(r.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(html).toMatch(/<td class="state down">DOWN/);
    expect(html).toMatch(/<td class="state (up|going)">UP/);
    expect(html).toContain('<input type="checkbox" name="s" value="s1"');
    expect(html).not.toContain("undefined");
    expect(await (await get("redisha", "/stats;st=<script>", { headers: BASIC })).text()).not.toContain("<script>");
  });

  test("garbage gets a 400 and is no harm", async () => {
    const { connect } = await import("node:net");
    const s = connect(ports.get("redisha")!, "127.0.0.1");
    let text = "";
    s.on("data", (d) => (text += d));
    s.on("error", () => {});
    s.write("*1\r\n$4\r\nPING\r\n\r\n\r\n");
    await new Promise((resolve) => s.once("close", resolve));
    expect(text).toStartWith("HTTP/1.1 400 ");
    expect((await get("redisha", "/healthz")).status).toBe(200);
  });

  if (chromium === undefined) console.error("SKIPPING the stats page in Chromium: it is not installed");
  test.skipIf(chromium === undefined)(
    "Chromium draws it, on a desk and on a phone",
    async () => {
      const dir = tempDir("page.");
      for (const size of ["1400,1000", "420,1000"]) {
        const file = join(dir, `${size}.png`);
        const args = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", `--user-data-dir=${dir}/${size}`, `--window-size=${size}`, `--screenshot=${file}`]; // prettier-ignore
        const p = Bun.spawn([chromium!, ...args, `http://admin:secret@127.0.0.1:${ports.get("redisha")}/stats`], { stdout: "ignore", stderr: "ignore" }); // prettier-ignore
        expect(await p.exited).toBe(0);
        expect(statSync(file).size).toBeGreaterThan(5000);
      }
    },
    120_000,
  );
});
