/** Before every test file (bunfig.toml): a busy machine takes its time. Workers of `bun test --parallel` do not read the limit in bunfig.toml. */
import { setDefaultTimeout } from "bun:test";

setDefaultTimeout(60000);
