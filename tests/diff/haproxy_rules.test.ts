/**
 * `tcp-request` rules in the real haproxy 2.6 and ours (strict-haproxy on): who is let in, who is not, what is counted and logged of it.
 */
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stat } from "../support/admin.ts";
import { echo, sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { tempDir } from "../support/programs.ts";
import { Peer } from "../support/proxy.ts";

const networks = join(tempDir("acl."), "networks");
writeFileSync(networks, "# who may come\n\n10.0.0.0/8\n  127.0.0.0/8\n");

async function denied(scene: Scene): Promise<void> {
  const names = ["pxname", "svname", "stot", "conn_tot", "dcon", "dses", "dreq"];
  scene.note((await stat(scene.sock)).map((r) => names.map((n) => `${n} ${r[n]}`).join(" ")));
}
async function served(scene: Scene, hello: string, lead = ""): Promise<void> {
  const c = await Peer.to(scene.proxy.port);
  c.send(lead + hello);
  await c.has(hello);
  c.socket.end();
  await c.isOver();
}
async function refused(scene: Scene, lead = ""): Promise<void> {
  // It may be over before it has begun.
  const c = await Peer.to(scene.proxy.port).catch(() => null);
  if (c === null) return;
  if (lead !== "") c.send(lead);
  await c.isOver();
  expect(c.text).toBe("");
}
const FROM = (address: string): string => `PROXY TCP4 ${address} 127.0.0.1 1111 2222\r\n`;
const front = (rules: string, bind = "", back = ""): string =>
  `frontend f\n bind 127.0.0.1:{port}${bind}\n${rules} default_backend b\nbackend b\n${back} server a 127.0.0.1:{a}\n`;

const lives: Life[] = [
  {
    name: "connection: by a file of networks",
    config: front(` acl mine src -f ${networks}\n tcp-request connection reject if !mine\n`),
    a: echo,
    async run(scene) {
      await served(scene, "hello");
      await scene.lines(1);
      await denied(scene);
    },
  },
  {
    name: "connection: everybody else is refused, without a line",
    config: front(" tcp-request connection accept if { src 10.0.0.0/8 }\n tcp-request connection reject\n"),
    a: echo,
    async run(scene) {
      await refused(scene);
      await refused(scene);
      await denied(scene);
    },
  },
  {
    name: "session: by the address that a PROXY header names",
    config: front(" tcp-request session reject unless { src 10.0.0.0/8 }\n", " accept-proxy"),
    a: echo,
    async run(scene) {
      await refused(scene, FROM("11.0.0.1"));
      await served(scene, "hello", FROM("10.0.0.1"));
      await denied(scene);
    },
  },
  {
    name: "expect-proxy for some",
    config: front(" tcp-request connection expect-proxy layer4 if { src 127.0.0.1 }\n tcp-request session reject if { src 10.0.0.9 }\n"),
    a: echo,
    async run(scene) {
      await served(scene, "hello", FROM("10.0.0.1"));
      await refused(scene, FROM("10.0.0.9"));
      await denied(scene);
    },
  },
  {
    name: "content: of the frontend",
    config: front(" tcp-request content reject if { dst_port gt 1 } { nbsrv(b) ge 1 }\n"),
    a: echo,
    async run(scene) {
      await refused(scene);
      await scene.lines(1);
      await denied(scene);
    },
  },
  {
    name: "content: of the backend",
    config: front("", "", " tcp-request content accept if { src 10.1.1.1 }\n tcp-request content reject if LOCALHOST\n"),
    a: echo,
    async run(scene) {
      await refused(scene);
      await scene.lines(1);
      await denied(scene);
    },
  },
  {
    name: "content: of a listen section",
    config: "listen l\n bind 127.0.0.1:{port}\n tcp-request content reject if { fe_conn gt 1 }\n server a 127.0.0.1:{a}\n",
    a: echo,
    async run(scene) {
      const first = await Peer.to(scene.proxy.port);
      first.send("x");
      await first.has("x");
      await refused(scene);
      first.socket.end();
      await first.isOver();
      await scene.lines(2);
      await denied(scene);
    },
  },
];
sameLives(lives);
