(function_item name: (identifier) @definition.function)
(struct_item name: (type_identifier) @definition.class)
(enum_item name: (type_identifier) @definition.enum)
(union_item name: (type_identifier) @definition.class)
(trait_item name: (type_identifier) @definition.interface)
(type_item name: (type_identifier) @definition.type)
(const_item name: (identifier) @definition.variable)
(static_item name: (identifier) @definition.variable)
(macro_definition name: (identifier) @definition.macro)

(mod_item name: (identifier) @scope body: (_) @scope.body)
(mod_item !body) @import
((attribute_item) @import.attribute . (mod_item !body))
(use_declaration) @import

(call_expression function: (identifier) @use)
(call_expression function: (scoped_identifier name: (identifier) @use.member))
(call_expression function: (field_expression field: (field_identifier) @use.member))
(macro_invocation macro: (identifier) @use)
(scoped_identifier path: (identifier) @use)
(type_identifier) @use
