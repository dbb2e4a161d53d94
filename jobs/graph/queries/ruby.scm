(module name: (constant) @definition.module)
(class name: (constant) @definition.class)
(class name: (scope_resolution name: (constant) @definition.class))
(method name: (identifier) @definition.method)
(singleton_method name: (identifier) @definition.method)

((call method: (identifier) @_require arguments: (argument_list . (string))) @import
  (#any-of? @_require "require" "require_relative" "load"))
((call method: (identifier) @_require arguments: (argument_list (simple_symbol) . (string))) @import
  (#eq? @_require "autoload"))

(superclass (constant) @use)
(call receiver: (constant) @use)
(scope_resolution scope: (constant) @use)
(scope_resolution name: (constant) @use)
(call !receiver method: (identifier) @use)
(call receiver: (_) method: (identifier) @use.member)
