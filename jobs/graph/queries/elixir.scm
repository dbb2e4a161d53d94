((call target: (identifier) @_define (arguments . (alias) @definition.module))
  (#any-of? @_define "defmodule" "defprotocol"))
((call target: (identifier) @_define (arguments . (call target: (identifier) @definition.function)))
  (#any-of? @_define "def" "defp" "defmacro" "defmacrop" "defguard"))
((call target: (identifier) @_define
  (arguments . (binary_operator left: (call target: (identifier) @definition.function))))
  (#any-of? @_define "def" "defp" "defmacro" "defmacrop" "defguard"))

((call target: (identifier) @_import (arguments . [(alias) (dot)])) @import
  (#any-of? @_import "alias" "import" "use" "require"))

(call target: (dot left: (alias) @use))
(call target: (dot left: (alias) right: (identifier) @use.member))
