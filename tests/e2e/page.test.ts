/**
 * The dashboard in headless Chromium: right before and after a failover that is started on the page with the keyboard, charts drawn, no
 * complaint in the console, no request to another host, phone and desk. SHOTS=folder keeps the pictures.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { chromium, Page } from "../support/chromium.ts";
import { freePort, Program, redisha, tempDir, until } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { Fleet } from "../support/sentinel_fleet.ts";
import { Wire } from "../support/wire.ts";
import { WholeSet } from "../support/whole_set.ts";

const CARDS = `Object.fromEntries([...document.querySelectorAll(".part")].map((p) => [p.dataset.key, p.dataset.kind]))`;

test.skipIf(chromium === null)(
  "topology before and after a failover, charts, keyboard, phone and desk",
  async () => {
    await using set = await WholeSet.start(
      { servers: ["redisha", "redisha"], sentinels: ["redisha", "redisha", "redisha"], proxy: "redisha" },
      { downAfterMs: 5000 },
    );
    const port = freePort();
    const members = [set.sentinels[0], set.proxy].map((p) => String(p.port));
    await using served = new Program("page", [redisha, "--status", ...members, "--page", String(port), "--admin"], port, tempDir(), true);
    served.start();
    await until("the page to be served", () => served.output.includes(`http://127.0.0.1:${port}/`), 30_000);
    const url = `http://127.0.0.1:${port}/`;
    await until("the first data", async () => (await fetch(`${url}data.json`)).status === 200, 30_000);
    await using page = await Page.open(url, { width: 1280, height: 900 });
    await page.shows("healthy");
    const [a, b] = set.servers.map((s) => `127.0.0.1:${s.port}`);
    const cards = await page.value(CARDS);
    expect(cards).toMatchObject({ [a]: "master", [b]: "replica", [`127.0.0.1:${set.proxy.port}`]: "proxy" });
    expect(Object.values(cards).filter((kind) => kind === "sentinel").length).toBe(3);
    // Charts have pixels of their own, and there are all four.
    await until("drawn charts", () =>
      page.value(
        `[...document.querySelectorAll(".chart canvas")].filter((c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v !== 0)).length === 4`,
      ),
    );
    const shots = process.env["SHOTS"];
    if (shots !== undefined) await page.screenshot(join(shots, "desk-light.png"));

    // The action, by keyboard alone: to the button, Enter, to "Fail over", Enter.
    await page.value(`document.querySelector("[data-key='failover m']").focus()`);
    await page.key("Enter");
    await until("the question", () => page.value(`document.getElementById("ask").open`));
    await page.key("Tab");
    await page.key("Enter");
    await page.shows("Failover of m: OK");
    await until(
      "the new topology",
      async () => {
        const now = await page.value(CARDS);
        return now[a] === "replica" && now[b] === "master";
      },
      60_000,
    );
    await until("the proxy's way", async () => (await page.text()).includes(`leads to port ${set.servers[1].port}`), 30_000);
    expect(await page.text()).toContain(`master ${b}: master`);
    if (shots !== undefined) await page.screenshot(join(shots, "desk-after.png"));

    await page.size(390, 844);
    await until("no sideways scrolling", () => page.value("document.documentElement.scrollWidth <= 390"));
    if (shots !== undefined) await page.screenshot(join(shots, "phone-light.png"));
    expect(page.complaints).toEqual([]);
    expect([...new Set(page.requests.map((r) => new URL(r).origin))].filter((o) => o !== "null")).toEqual([url.slice(0, -1)]);

    // Whoever does not come from the page starts nothing.
    const post = (headers: Record<string, string>): Promise<number> =>
      fetch(`${url}failover`, { method: "POST", headers, body: '{"name":"m"}' }).then((r) => r.status);
    expect(await post({})).toBe(403);
    expect(await post({ "x-redisha": "guess" })).toBe(403);
    expect((await fetch(`${url}other`)).status).toBe(404);
    if (shots === undefined) return;
    await using dark = await Page.open(url, { width: 390, height: 844, dark: true });
    await dark.shows("healthy");
    await until("charts", () => dark.value(`document.querySelectorAll(".chart canvas").length === 4`));
    await dark.screenshot(join(shots, "phone-dark.png"));
  },
  240_000,
);

const ROLES = `Object.fromEntries([...document.querySelectorAll("#sets .part")].map((p) => [p.dataset.key, p.dataset.kind]))`;

test.skipIf(chromium === null)(
  "the proxy's live view: who is master, what waits and what was replayed, hot keys; the stats page's action",
  async () => {
    await using fleet = await Fleet.start({
      replicas: 1,
      sentinels: ["redisha", "redisha", "redisha"],
      server: "redisha",
      downAfterMs: 4000,
    });
    const http = freePort();
    await using proxy = await startProxy(
      "redisha",
      `defaults\nmode redis\ntimeout connect 3s\ntimeout server 60s\ntimeout client 60s\n` +
        `listen redis\nbind 127.0.0.1:{port}\nredis-hold 60s\nsentinel m ${fleet.sentinels.map((s) => `127.0.0.1:${s.port}`).join(" ")}\n` +
        `listen stats\nmode http\nbind 127.0.0.1:${http}\nstats enable\nstats uri /\nstats admin if TRUE\n`,
    );
    const [old, other] = [fleet.servers[0]!, fleet.servers[1]!].map((s) => `127.0.0.1:${s.port}`) as [string, string];
    const client = await Wire.connect(proxy.port);
    for (let i = 0; i < 2000; i++) await client.do("INCR", "much:wanted");
    await using page = await Page.open(`http://127.0.0.1:${http}/`, { width: 1280, height: 900 });
    await page.shows("live view");
    await page.value(`[...document.links].find((a) => a.textContent === "live view").click()`);
    await page.shows("Through redis");
    await page.shows("much:wanted");
    await until("the roles", async () => {
      const now = await page.value(ROLES);
      return now[old] === "master" && now[other] === "replica";
    });
    const figure = (word: string): Promise<number> =>
      page.value(
        `Number([...document.querySelectorAll(".figure")].find((f) => f.textContent.includes("${word}")).querySelector("b").textContent)`,
      );
    expect([await figure("clients waiting"), await figure("UNKNOWNRESULT")]).toEqual([0, 0]);

    await fleet.servers[0]!.stop("SIGKILL");
    const late = client.do("INCR", "much:wanted");
    await until(
      "a client or a request that waits, on the page",
      async () => (await figure("clients waiting")) + (await figure("requests kept")) >= 1,
      20_000,
    );
    await until("the new master on the page", async () => (await page.value(ROLES))[other] === "master", 60_000);
    await page.shows(`${old} does not answer`);
    expect(await late).toBe("(2001)");
    await until("none waits", async () => (await figure("clients waiting")) === 0);
    expect((await figure("held so far")) + (await figure("replayed so far"))).toBeGreaterThanOrEqual(1);
    await until("drawn charts", () =>
      page.value(
        `[...document.querySelectorAll(".chart canvas")].filter((c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v !== 0)).length === 2`,
      ),
    );
    const shots = process.env["SHOTS"];
    if (shots !== undefined) await page.screenshot(join(shots, "proxy-desk.png"));
    await page.size(390, 844);
    await until("no sideways scrolling", () => page.value("document.documentElement.scrollWidth <= 390"));
    if (shots !== undefined) await page.screenshot(join(shots, "proxy-phone.png"));

    client.close();
    // Back, and a server into maintenance by the form.
    await page.value("history.back()");
    await page.shows("only what is up");
    await page.value(
      `{ const form = document.querySelector("form"); form.querySelector('input[name="s"]').checked = true;` +
        ` form.querySelector('[name="action"]').value = "maint"; form.requestSubmit ? form.requestSubmit() : form.submit(); }`,
    );
    await page.shows("Done.");
    await page.shows("MAINT");
    expect(page.complaints).toEqual([]);
    expect([...new Set(page.requests.map((r) => new URL(r).origin))].filter((o) => o !== "null")).toEqual([`http://127.0.0.1:${http}`]);
  },
  240_000,
);
