(class_definition name: (_) @definition.class)
(object_definition name: (_) @definition.class)
(trait_definition name: (_) @definition.interface)
(enum_definition name: (_) @definition.enum)
(type_definition name: (_) @definition.type)
(function_definition name: (identifier) @definition.function)

(package_clause name: (_) @package)
(import_declaration) @import

(type_identifier) @use
(call_expression function: (identifier) @use)
(field_expression value: (identifier) @use)
(call_expression function: (field_expression field: (identifier) @use.member))
