(class_declaration name: (name) @definition.class)
(interface_declaration name: (name) @definition.interface)
(trait_declaration name: (name) @definition.class)
(enum_declaration name: (name) @definition.enum)
(function_definition name: (name) @definition.function)
(method_declaration name: (name) @definition.method)

(namespace_definition name: (namespace_name) @package)
(namespace_use_declaration) @import
(require_expression) @import
(require_once_expression) @import
(include_expression) @import
(include_once_expression) @import

(object_creation_expression (name) @use)
(base_clause (name) @use)
(class_interface_clause (name) @use)
(use_declaration (name) @use)
(named_type (name) @use)
(scoped_call_expression scope: (name) @use)
(class_constant_access_expression . (name) @use)
(function_call_expression function: (name) @use)
(scoped_call_expression name: (name) @use.member)
(member_call_expression name: (name) @use.member)
