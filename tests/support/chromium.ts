/**
 * A page in headless Chromium, driven over the DevTools protocol: what it shows, what it asks for, what its console says.
 * Chromium is Debian's (apt install chromium); tests that use it are skipped aloud where it is missing.
 */
import { rmSync, writeFileSync } from "node:fs";
import { tempDir, until } from "./programs.ts";

export const chromium = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");
if (chromium === null) console.warn("SKIPPING the tests of pages: chromium is not installed");

export class Page {
  private readonly process: ReturnType<typeof Bun.spawn>;
  private readonly profile: string;
  private readonly socket: WebSocket;
  private readonly waiting: Map<number, (result: any) => void>;
  private lastId: number;
  private session: string;
  /** Errors and warnings of the console, exceptions. */
  readonly complaints: string[];
  /** Every address that was asked for. */
  readonly requests: string[];

  private constructor(process: ReturnType<typeof Bun.spawn>, profile: string, socket: WebSocket) {
    this.process = process;
    this.profile = profile;
    this.socket = socket;
    this.waiting = new Map();
    this.lastId = 0;
    this.session = "";
    this.complaints = [];
    this.requests = [];
    socket.addEventListener("message", (event) => this.onMessage(JSON.parse(String(event.data))));
  }

  static async open(url: string, options: { width: number; height: number; dark?: boolean }): Promise<Page> {
    const profile = tempDir("chromium.");
    const flags = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--disable-background-networking",
    ];
    const process = Bun.spawn([chromium!, ...flags, `--user-data-dir=${profile}`, "--remote-debugging-port=0", "about:blank"], {
      stdout: "ignore",
      stderr: "pipe",
    });
    let said = "";
    void (async () => {
      for await (const chunk of process.stderr) said += Buffer.from(chunk).toString();
    })();
    const address = await until("chromium to listen", () => /DevTools listening on (ws:\S+)/.exec(said)?.[1], 60_000);
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", reject);
    });
    const page = new Page(process, profile, socket);
    const { targetId } = await page.send("Target.createTarget", { url: "about:blank" });
    page.session = (await page.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await page.send(`${domain}.enable`, {});
    await page.size(options.width, options.height);
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: options.dark ? "dark" : "light" }] });
    await page.send("Page.navigate", { url });
    return page;
  }

  async size(width: number, height: number): Promise<void> {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  }

  private send(method: string, params: object): Promise<any> {
    const id = ++this.lastId;
    this.socket.send(JSON.stringify({ id, method, params, ...(this.session === "" ? {} : { sessionId: this.session }) }));
    return new Promise((resolve, reject) => {
      this.waiting.set(id, (message) =>
        message.error === undefined ? resolve(message.result) : reject(new Error(`${method}: ${message.error.message}`)),
      );
    });
  }

  private onMessage(message: any): void {
    if (message.id !== undefined) {
      this.waiting.get(message.id)?.(message);
      this.waiting.delete(message.id);
      return;
    }
    const p = message.params;
    if (message.method === "Network.requestWillBeSent") this.requests.push(p.request.url);
    if (message.method === "Runtime.exceptionThrown")
      this.complaints.push(p.exceptionDetails.exception?.description ?? p.exceptionDetails.text);
    if (message.method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(p.type))
      this.complaints.push(p.args.map((a: any) => a.value ?? a.description).join(" "));
    if (message.method === "Log.entryAdded" && p.entry.level === "error") this.complaints.push(`${p.entry.text} ${p.entry.url ?? ""}`);
  }

  /** The value of an expression in the page. */
  async value(expression: string): Promise<any> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }
  text(): Promise<string> {
    return this.value("document.body?.innerText ?? ''");
  }
  async shows(text: string, timeoutMs = 60_000): Promise<void> {
    let last = "";
    try {
      await until(`"${text}" on the page`, async () => (last = await this.text()).includes(text), timeoutMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}; it shows:\n${last}\n${this.complaints.join("\n")}`);
    }
  }
  async key(key: string): Promise<void> {
    for (const type of ["keyDown", "keyUp"])
      await this.send("Input.dispatchKeyEvent", {
        type,
        key,
        code: key,
        windowsVirtualKeyCode: key === "Tab" ? 9 : 13,
        ...(key === "Enter" && type === "keyDown" ? { text: "\r" } : {}),
      });
  }
  async screenshot(file: string): Promise<void> {
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
    writeFileSync(file, Buffer.from(data, "base64"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.close();
    this.process.kill();
    await this.process.exited;
    rmSync(this.profile, { recursive: true, force: true });
  }
}
