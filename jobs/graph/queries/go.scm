(function_declaration name: (identifier) @definition.function)
(method_declaration name: (field_identifier) @definition.method)
(type_spec name: (type_identifier) @definition.type)
(type_alias name: (type_identifier) @definition.type)
(source_file (const_declaration (const_spec name: (identifier) @definition.variable)))
(source_file (var_declaration (var_spec name: (identifier) @definition.variable)))
(source_file (var_declaration (var_spec_list (var_spec name: (identifier) @definition.variable))))

(package_clause (package_identifier) @package)
(import_spec path: (_) @import)

(call_expression function: (identifier) @use)
(type_identifier) @use
(selector_expression operand: (identifier) field: (field_identifier) @use.member)
(call_expression function: (selector_expression field: (field_identifier) @use.member))
