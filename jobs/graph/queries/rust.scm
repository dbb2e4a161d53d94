(function_item name: (identifier) @definition.function)
(struct_item name: (type_identifier) @definition.class)
(enum_item name: (type_identifier) @definition.enum)
(union_item name: (type_identifier) @definition.class)
(trait_item name: (type_identifier) @definition.interface)
(type_item name: (type_identifier) @definition.type)
(const_item name: (identifier) @definition.variable)
(static_item name: (identifier) @definition.variable)
(mod_item name: (identifier) @definition.module body: (_))
(macro_definition name: (identifier) @definition.macro)

(mod_item name: (identifier) @scope body: (_) @scope.body)
(mod_item !body) @import
((attribute_item (attribute (identifier) @_path)) @import.attribute (#eq? @_path "path"))
(use_declaration) @import
(extern_crate_declaration) @import

(call_expression function: (identifier) @use)
(call_expression function: (scoped_identifier name: (identifier) @use.member))
(call_expression function: (field_expression field: (field_identifier) @use.member))
(macro_invocation macro: (identifier) @use)
(scoped_identifier path: (identifier) @use)
(type_identifier) @use
