"""Imports of JavaScript and TypeScript."""

from typing import Any

MONOREPO = {
    "package.json": '{"name": "root", "workspaces": ["packages/*"]}',
    "tsconfig.json": """\
        {
          // comments, and a trailing comma
          "compilerOptions": {"baseUrl": ".", "paths": {"@app/*": ["packages/app/src/*"],}},
        }
        """,
    "packages/app/package.json": """\
        {"name": "@shop/app", "imports": {"#store": "./src/store/index.ts"},
         "dependencies": {"@shop/core": "*"}}
        """,
    "packages/app/src/main.ts": """\
        import React from "react";
        import { total } from "@shop/core";
        import { round } from "@shop/core/math";
        import type { Cart } from "@app/cart";
        import store = require("#store");
        import "./style.css";
        import legacy from "./legacy.js";
        export * from "./cart.js";
        const lazy = () => import("./lazy");
        const old = require("./old");
        import { gone } from "./gone";
        """,
    "packages/app/src/cart.ts": "export interface Cart {}\n",
    "packages/app/src/legacy.js": "export default 1;\n",
    "packages/app/src/lazy.tsx": "export const x = 1;\n",
    "packages/app/src/old.cjs": "module.exports = {};\n",
    "packages/app/src/store/index.ts": "export const s = 1;\n",
    "packages/core/package.json": """\
        {"name": "@shop/core", "main": "dist/index.js",
         "exports": {".": {"import": "./dist/index.js"}, "./*": "./dist/*.js"}}
        """,
    "packages/core/src/index.ts": "export { total } from './total.js';\n",
    "packages/core/src/total.ts": "export function total() {}\n",
    "packages/core/src/math.ts": "export function round() {}\n",
}


def test_a_workspace_with_paths_and_exports(resolve: Any) -> None:
    found = resolve(MONOREPO)
    src = "packages/app/src"
    assert found.of(f"{src}/main.ts") == {
        "@shop/core": {"packages/core/src/index.ts": 1.0},
        "@shop/core/math": {"packages/core/src/math.ts": 1.0},
        "@app/cart": {f"{src}/cart.ts": 1.0},
        "#store": {f"{src}/store/index.ts": 1.0},
        "./legacy.js": {f"{src}/legacy.js": 1.0},
        "./cart.js": {f"{src}/cart.ts": 1.0},
        "./lazy": {f"{src}/lazy.tsx": 1.0},
        "./old": {f"{src}/old.cjs": 1.0},
    }
    assert found.of("packages/core/src/index.ts") == {
        "./total.js": {"packages/core/src/total.ts": 1.0}
    }
    assert found.unresolved == [(f"{src}/main.ts", "./gone")]
    counts = found.graph.counts["TypeScript"]
    # React and the style sheet are not the repository's code.
    assert (counts.imports, counts.in_repository, counts.resolved) == (12, 10, 9)


def test_without_configuration_paths_still_resolve(resolve: Any) -> None:
    found = resolve(
        {
            "src/a.mjs": "import b from './lib';\nimport c from '@/c';\nimport d from '..';\n",
            "src/lib/index.js": "",
            "src/c.d.ts": "",
            "index.js": "",
            "bad/package.json": "{not json",
        }
    )
    assert found.of("src/a.mjs") == {
        "./lib": {"src/lib/index.js": 1.0},
        "@/c": {"src/c.d.ts": 1.0},
        "..": {"index.js": 1.0},
    }
